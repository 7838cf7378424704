"""Files and columns: tables in and out, schemas, and the encoding of rows as arrays."""
