"""Files of users: tables and arrays are checked when read, results are written completely, folders are locked."""
