"""Does a result survive other prompts, other numbers and unfair choices?"""
