"""The conformance kit: suites that judge an implementation, and the verdict that they give."""
