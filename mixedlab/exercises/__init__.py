"""The book's exercises: one file a chapter, ``ch03.py``, with a tuple ``EXERCISES``."""
