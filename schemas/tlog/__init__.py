"""Merkle logs (C2SP): trees, tiles, signed notes, checkpoints, witnesses, consistency proofs."""
