import numpy as np
import pytest

from prune_kit.data.spec import load_data
from prune_kit.errors import DataError
from tests.data.small_sets import write_idx_folder


@pytest.mark.parametrize("inside", [".", "raw", "FashionMNIST/raw"])
def test_fashion_mnist_is_read_under_its_own_class_names(tmp_path, inside):
    images, label = write_idx_folder(tmp_path / inside)
    data = load_data(f"fashion-mnist:{tmp_path}")
    np.testing.assert_array_equal(data.images[..., 0], images)
    np.testing.assert_array_equal(data.labels, label)
    assert data.name == "fashion-mnist"
    assert data.class_names[0] == "T-shirt/top"
    assert data.class_names[9] == "Ankle boot"
    assert data.classes == 10


def test_the_class_names_are_torchvisions():
    from torchvision.datasets import FashionMNIST

    from prune_kit.data.sources.fashion_mnist import CLASS_NAMES

    assert list(CLASS_NAMES) == FashionMNIST.classes


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(
        DataError, match=r"the folder .*nowhere does not exist; fashion-mnist needs"
    ):
        load_data(f"fashion-mnist:{tmp_path / 'nowhere'}")
