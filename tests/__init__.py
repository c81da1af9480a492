"""Tests mirror the packages; golden/ holds outputs of others, hostile/ bad input, cli/ the command lines."""
