"""What goes in: formulas, tables and the designs made of them."""
