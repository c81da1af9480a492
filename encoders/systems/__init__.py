"""One file for the models of each paper or benchmark, and what several of them stand on."""
