"""The explorer: a lab whose data are the reader's own table."""
