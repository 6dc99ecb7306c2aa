"""Real programs that tests run: one module a program, and rigs that put several together."""
