"""Files of users: tables and arrays read with care, results written whole, and folders locked."""
