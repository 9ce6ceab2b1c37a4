"""For all tests."""

import torch

from .torchvision_operators import declare_missing_operators

# The nets of the tests are so small that a second thread costs more than it brings.
torch.set_num_threads(1)
declare_missing_operators()
