"""Vocabulary and pure helpers that every other package uses: types, errors, seeds, files, statistics."""
