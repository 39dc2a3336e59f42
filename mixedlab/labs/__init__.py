"""The labs: each a module with a ``LAB``; the rest of the folder is the kit they are made with."""
