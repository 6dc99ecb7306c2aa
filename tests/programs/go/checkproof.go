// Checks the checkpoint and the Merkle paths of a proof that was taken apart, with the Go project's own implementation.
//
//	checkproof FOLDER VKEY
//
// FOLDER/checkpoint is a signed note; each line of FOLDER/entries is an index, a file with the leaf, and its path in hex.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail("%v", err)
	}
	return value
}

func main() {
	folder := os.Args[1]
	verifier := must(note.NewVerifier(os.Args[2]))
	opened := must(note.Open(must(os.ReadFile(filepath.Join(folder, "checkpoint"))), note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	size := must(strconv.ParseInt(lines[1], 10, 64))
	root := must(tlog.ParseHash(lines[2]))
	list := must(os.Open(filepath.Join(folder, "entries")))
	count := 0
	for scanner := bufio.NewScanner(list); scanner.Scan(); count++ {
		fields := strings.Fields(scanner.Text())
		index := must(strconv.ParseInt(fields[0], 10, 64))
		leaf := must(os.ReadFile(filepath.Join(folder, fields[1])))
		var proof tlog.RecordProof
		if len(fields) > 2 {
			raw := must(hex.DecodeString(fields[2]))
			for ; len(raw) > 0; raw = raw[tlog.HashSize:] {
				var hash tlog.Hash
				copy(hash[:], raw)
				proof = append(proof, hash)
			}
		}
		if err := tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(leaf)); err != nil {
			fail("entry %d: %v", index, err)
		}
	}
	fmt.Printf("%d entries are in the tree of %d\n", count, size)
}
