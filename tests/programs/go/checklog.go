// Checks a tiled log's folder with the Go project's own implementation of notes and Merkle trees.
//
//	checklog LOG VKEY
//
// The newest checkpoint is opened with note.Open. Its root is computed again from the entries. Then tiles have to serve proofs:
// of every entry's inclusion in the newest tree, and of the consistency of every kept checkpoint with it.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func open(path string, verifiers note.Verifiers) tlog.Tree {
	raw, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	opened, err := note.Open(raw, verifiers)
	if err != nil {
		fail("%s: %v", path, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		fail("%s: not three lines", path)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("%s: %v", path, err)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		fail("%s: %v", path, err)
	}
	return tlog.Tree{N: size, Hash: root}
}

// C2SP's path: as tlog.Tile has it, without the height, and the bundles of entries are at "entries" instead of "data".
func place(tile tlog.Tile) string {
	return strings.Replace(strings.Replace(tile.Path(), "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
}

type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		raw, err := os.ReadFile(filepath.Join(t.folder, place(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

func entries(folder string, size int64) [][]byte {
	var all [][]byte
	for first := int64(0); first < size; first += width {
		count := width
		if size-first < width {
			count = int(size - first)
		}
		tile := tlog.Tile{H: 8, L: -1, N: first / width, W: count}
		raw, err := os.ReadFile(filepath.Join(folder, place(tile)))
		if err != nil {
			fail("%v", err)
		}
		for each := 0; each < count; each++ {
			length := int(binary.BigEndian.Uint16(raw))
			all = append(all, raw[2:2+length])
			raw = raw[2+length:]
		}
		if len(raw) != 0 {
			fail("%s: %d bytes are left", place(tile), len(raw))
		}
	}
	return all
}

func main() {
	folder := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	if err != nil {
		fail("%v", err)
	}
	verifiers := note.VerifierList(verifier)
	newest := open(filepath.Join(folder, "checkpoint"), verifiers)

	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var all []tlog.Hash
		for _, index := range indexes {
			all = append(all, stored[index])
		}
		return all, nil
	})
	leaves := entries(folder, newest.N)
	for index, leaf := range leaves {
		hashes, err := tlog.StoredHashes(int64(index), leaf, reader)
		if err != nil {
			fail("%v", err)
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(newest.N, reader)
	if err != nil || root != newest.Hash {
		fail("the entries have the root %v, the checkpoint %v (%v)", root, newest.Hash, err)
	}

	served := tlog.TileHashReader(newest, tiles{folder})
	for index, leaf := range leaves {
		proof, err := tlog.ProveRecord(newest.N, int64(index), served)
		if err != nil {
			fail("entry %d: %v", index, err)
		}
		if err := tlog.CheckRecord(proof, newest.N, newest.Hash, int64(index), tlog.RecordHash(leaf)); err != nil {
			fail("entry %d: %v", index, err)
		}
	}
	kept, err := os.ReadDir(filepath.Join(folder, "checkpoints"))
	if err != nil {
		fail("%v", err)
	}
	for _, each := range kept {
		old := open(filepath.Join(folder, "checkpoints", each.Name()), verifiers)
		proof, err := tlog.ProveTree(newest.N, old.N, served)
		if err != nil {
			fail("checkpoint %d: %v", old.N, err)
		}
		if err := tlog.CheckTree(proof, newest.N, newest.Hash, old.N, old.Hash); err != nil {
			fail("checkpoint %d: %v", old.N, err)
		}
	}
	fmt.Printf("%d entries, %d checkpoints hold\n", newest.N, len(kept))
}
