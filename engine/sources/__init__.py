"""Where rows come from: files of all kinds, standard input, and paged queries. Nothing here knows a billing."""
