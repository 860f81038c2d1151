"""Workers by demand: as many as what is queued and running asks for, and none ended that is busy."""
