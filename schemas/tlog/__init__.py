"""Merkle logs as C2SP specifies them: trees, tiles, signed notes, checkpoints, witnesses, consistency proofs."""
