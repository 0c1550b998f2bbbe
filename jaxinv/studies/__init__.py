"""One module a table of a paper: what is run, and the printed numbers beside ours."""
