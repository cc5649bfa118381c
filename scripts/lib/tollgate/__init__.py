"""What the operator's scripts share. They read what they like, and change things only through the
functions of the Redis library."""
