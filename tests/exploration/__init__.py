"""The real verifier and result board, explored exhaustively in a small scope: ``./run explore``."""
