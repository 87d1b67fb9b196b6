import numpy as np

from prune_kit.data.spec import load_data


def test_digits_are_scikit_learns_in_its_order():
    from sklearn.datasets import load_digits

    images, label = load_digits(return_X_y=True)
    data = load_data("digits")
    np.testing.assert_array_equal(data.images.reshape(1797, 64), images * 15)
    np.testing.assert_array_equal(data.labels, label)
    assert data.images.dtype == np.uint8
    assert data.shape == (8, 8, 1)


def test_digits_have_no_test_set_of_their_own_so_a_fifth_is_held_out():
    data = load_data("digits")
    assert data.outside_test is None
    assert abs(len(data.test.label) - 1797 / 5) <= 5
    assert len(data.test.label) + len(data.rows.training) == len(data) == 1797
    assert "held out" in data.describe()
