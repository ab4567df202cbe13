"""One cell, from names and flags to a stored run: assembled, admitted, executed, measured."""
