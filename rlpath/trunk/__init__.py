"""From a blank file to a language model: one readable page each, proven against the library one would use instead."""
