# Ends with the code it is given, or with an exception.
import sys

print("before", flush=True)
if len(sys.argv) > 1:
    sys.exit(int(sys.argv[1]))
raise ValueError("of its own")
