"""The simulation: the real program in virtual time, in which a seed chooses what happens and in which order."""
