"""The tensor functions of the two chapters, against NumPy."""

import numpy as np
import pytest

import d2lrnn as d2l
from d2lrnn import backend

RANDOM = np.random.RandomState(0)
A = RANDOM.randn(2, 3, 4).astype(np.float32)
M = RANDOM.randn(4, 5).astype(np.float32)

# float32: a few roundings of 6e-8 in sums of four products.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def check(tensor, expected):
    found = d2l.numpy(tensor)
    assert isinstance(found, np.ndarray)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("name", sorted({*backend.REQUIRED, *d2l._CORE}))
def test_every_name_is_public(name):
    assert getattr(d2l, name) is not None
    assert name in dir(d2l)


@pytest.mark.parametrize("name", "abs cos cosh exp sin sinh tanh".split())
def test_elementwise(name):
    check(getattr(d2l, name)(d2l.tensor(A)), getattr(np, name)(A))


def test_sigmoid():
    check(d2l.sigmoid(d2l.tensor(A)), 1 / (1 + np.exp(-A)))


def test_matmul():
    check(d2l.matmul(d2l.tensor(A[0]), d2l.tensor(M)[:4]), A[0] @ M[:4])


def test_log():
    check(d2l.log(d2l.tensor(np.abs(A) + 1)), np.log(np.abs(A) + 1))


def test_batch_matmul():
    other = RANDOM.randn(2, 4, 5).astype(np.float32)
    check(d2l.batch_matmul(d2l.tensor(A), d2l.tensor(other)), A @ other)


def test_more_of_the_appendix():
    a = d2l.tensor(A)
    check(d2l.eye(3), np.eye(3))
    check(d2l.linspace(0.0, 1.0, 5), np.linspace(0, 1, 5))
    check(d2l.ones_like(a), np.ones_like(A))
    check(d2l.zeros_like(a), np.zeros_like(A))
    assert d2l.size(a) == 24
    x, y = np.arange(2.0, dtype=np.float32), np.arange(3.0, dtype=np.float32)
    both = d2l.meshgrid(d2l.tensor(x), d2l.tensor(y), indexing="ij")
    for found, expected in zip(both, np.meshgrid(x, y, indexing="ij"), strict=True):
        check(found, expected)


def test_shapes():
    a = d2l.tensor(A)
    check(d2l.reshape(a, (6, 4)), A.reshape(6, 4))
    check(d2l.reshape(a, (-1, 2)), A.reshape(-1, 2))
    check(d2l.swapaxes(a, 0, 1), A.swapaxes(0, 1))
    check(d2l.expand_dims(a, 1), A[:, None])
    check(d2l.expand_dims(a, axis=-1), A[..., None])
    check(d2l.transpose(d2l.tensor(M)), M.T)
    check(d2l.transpose(a, (1, 0, 2)), A.transpose(1, 0, 2))


def test_joining():
    a = d2l.tensor(A)
    check(d2l.concat([a, a], 1), np.concatenate([A, A], 1))
    check(d2l.concat((a, a)), np.concatenate([A, A]))
    check(d2l.stack([a, a], 1), np.stack([A, A], 1))
    check(d2l.stack((a, a)), np.stack([A, A]))


def test_reductions():
    a = d2l.tensor(A)
    check(d2l.reduce_sum(a), A.sum())
    check(d2l.reduce_sum(a, 1), A.sum(1))
    check(d2l.reduce_sum(a, axis=0, keepdims=True), A.sum(0, keepdims=True))
    check(d2l.reduce_mean(a), A.mean())
    check(d2l.reduce_mean(a, axis=2), A.mean(2))
    check(d2l.argmax(a, axis=2), A.argmax(2))
    check(d2l.argmax(a, 0), A.argmax(0))


def test_making():
    check(d2l.zeros((2, 3)), np.zeros((2, 3)))
    check(d2l.ones((2, 3)), np.ones((2, 3)))
    check(d2l.arange(5), np.arange(5))
    check(d2l.arange(2, 8, 2), np.arange(2, 8, 2))
    check(d2l.tensor([[1.5, 2.5]]), np.array([[1.5, 2.5]]))


def test_types():
    x = d2l.tensor([1.9, 2.1])
    assert d2l.numpy(d2l.astype(x, d2l.int32)).dtype == np.int32
    assert d2l.numpy(d2l.astype(x, d2l.float32)).dtype == np.float32
    check(d2l.astype(x, d2l.int32), [1, 2])


def test_devices():
    assert d2l.num_gpus() >= 0
    d2l.cpu(), d2l.gpu(), d2l.try_gpu()
    assert set(d2l.versions()) >= {"framework", "devices"}
