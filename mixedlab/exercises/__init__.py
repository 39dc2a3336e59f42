"""The book's exercises: one file a chapter, ``ch02.py``, with a tuple ``EXERCISES``."""
