"""`lvmqcow verify`: run the suites, in as many processes and in the lab as is needed, and return one verdict."""
