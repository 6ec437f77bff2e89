"""What a reader writes in TensorFlow's terms; `tests/contract/test_readers.py` says what is right then."""

import tensorflow as tf
from tensorflow.keras import layers, optimizers

import d2lrnn as d2l

OWN_SUFFIX = ".weights.h5"
RETURNS = {"return_sequences": True, "return_state": True}


class Dropping(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.drop = layers.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.drop(hiddens))


class Normalised(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.norm = layers.BatchNormalization()

    def output_layer(self, hiddens):
        return super().output_layer(self.norm(hiddens))


class Decoder(d2l.RNNLM):
    def init_params(self):
        tf.keras.utils.set_random_seed(self.seed)
        self.decoder = layers.Dense(self.vocab_size)

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.decoder(hiddens), 0, 1)


class Momentum(d2l.RNNLM):
    def configure_optimizers(self):
        return optimizers.SGD(self.lr, momentum=0.9)


class Adam(d2l.RNNLM):
    def configure_optimizers(self):
        return optimizers.Adam(self.lr)


class ReplacedAndAdam(Adam):
    def __init__(self, rnn, vocab_size, lr, seed):
        super().__init__(rnn, vocab_size, lr=lr, seed=seed)
        tf.keras.utils.set_random_seed(seed)
        self.rnn.rnn = layers.GRU(rnn.num_hiddens, **RETURNS)


class ReLU(d2l.RNN):
    def __init__(self, num_inputs, num_hiddens):
        super().__init__(num_hiddens, num_inputs=num_inputs)
        tf.keras.utils.set_random_seed(0)
        self.rnn = layers.SimpleRNN(num_hiddens, "relu", **RETURNS)


class Own(d2l.RNN):
    def __init__(self, num_inputs, num_hiddens):
        d2l.Module.__init__(self)
        self.save_hyperparameters(ignore="num_inputs")
        tf.keras.utils.set_random_seed(0)
        self.rnn = layers.SimpleRNN(num_hiddens, **RETURNS)


class WithoutBias(d2l.RNNLM):
    def init_params(self):
        tf.keras.utils.set_random_seed(self.seed)
        self.linear = layers.Dense(self.vocab_size, use_bias=False)


class LayerWithoutBias(d2l.RNN):
    def layer(self, start):
        tf.keras.utils.set_random_seed(self.seed)
        return layers.SimpleRNN(self.num_hiddens, use_bias=False, **RETURNS)


relu_inside = ReLU
own_layer = Own


def without_bias(part, num_inputs, num_hiddens):
    layer, model = {"recurrent": (LayerWithoutBias, d2l.RNNLM), "output": (d2l.RNN, WithoutBias)}[
        part
    ]
    return model(layer(num_hiddens, num_inputs=num_inputs), vocab_size=num_inputs, lr=0.5)


def rows(arrays):
    return tf.data.Dataset.from_tensor_slices(tuple(arrays))


def loaders_without_length(batch_size):
    def from_generator(arrays):
        signature = tuple(tf.TensorSpec(array.shape[1:], array.dtype) for array in arrays)
        examples = tf.data.Dataset.from_generator(
            lambda: zip(*arrays, strict=True), output_signature=signature
        )
        return examples.batch(batch_size)

    return {
        "tf.data from a generator": from_generator,
        "tf.data, filtered": lambda a: rows(a).filter(lambda X, Y: True).batch(batch_size),
    }


def ENDLESS(arrays):
    return rows(arrays).batch(6).repeat()


def halve_lr(trainer):
    trainer.optim.learning_rate = trainer.optim.learning_rate / 2


def save_own(model, path):
    model.save_weights(path)


def load_own(model, path):
    model.load_weights(path)


def scalars():
    tensor = tf.constant(2.5)
    return {
        "no axes": (tensor, 2.5),
        "shape (1,)": (tf.reshape(tensor, (1,)), 2.5),
        "shape (1, 1)": (tf.reshape(tensor, (1, 1)), 2.5),
        "a variable": (tf.Variable([2.5]), 2.5),
        "a variable of Keras's": (tf.keras.Variable(2.5), 2.5),
        "float64": (tf.cast(tensor, tf.float64), 2.5),
        "bfloat16": (tf.cast(tensor, tf.bfloat16), 2.5),
        "int64": (tf.constant(3, tf.int64), 3.0),
    }


def output_layer(model, outputs):
    return d2l.numpy(model.output_layer(outputs))
