"""Where rows come from: files and paged queries. Nothing here knows a billing."""
