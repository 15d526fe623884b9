import os
import sys

import greeting  # says hello

print(sys.argv[1], os.getuid(), greeting.__name__)
