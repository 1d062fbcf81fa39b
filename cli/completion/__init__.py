"""Shell completion: the words that can follow what is typed, and the scripts that ask for them."""
