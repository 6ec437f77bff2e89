"""What the cells of sections 10.5 and 10.7 have in common in PyTorch and MXNet, as a reader types them."""

import d2lrnn as d2l

PAIRS = [
    ("Go.", "Va !"),
    ("I lost.", "J'ai perdu."),
    ("He's calm.", "Il est calme."),
    ("I'm home.", "Je suis chez moi."),
    ("She's calm.", "Elle est calme."),
    ("He's home.", "Il est chez lui."),
]
TEXT = "\n".join("\t".join(pair) for pair in PAIRS * 3) + "\n"
ENGS = ["go .", "i lost .", "he's calm .", "i'm home ."]
FRAS = ["va !", "j'ai perdu .", "il est calme .", "je suis chez moi ."]


def type_section_10_5():
    """The cells of section 10.5, one after another, with what they show; returns the data."""

    class Pairs(d2l.DataModule):
        def _download(self):
            return TEXT

    data = Pairs()
    raw_text = data._download()

    @d2l.add_to_class(Pairs)
    def _preprocess(self, text):
        text = text.replace("\u202f", " ").replace("\xa0", " ").lower()
        before = " " + text
        out = [f" {c}" if c in ",.!?" and p != " " else c for c, p in zip(text, before)]  # noqa: B905
        return "".join(out)

    @d2l.add_to_class(Pairs)
    def _tokenize(self, text, max_examples=None):
        src, tgt = [], []
        for i, line in enumerate(text.split("\n")):
            if max_examples and i > max_examples:
                break
            parts = line.split("\t")
            if len(parts) == 2:
                src.append([t for t in f"{parts[0]} <eos>".split(" ") if t])
                tgt.append([t for t in f"{parts[1]} <eos>".split(" ") if t])
        return src, tgt

    src, tgt = data._tokenize(data._preprocess(raw_text))
    assert src[0] == ["go", ".", "<eos>"] and tgt[1] == ["j'ai", "perdu", ".", "<eos>"]
    d2l.show_list_len_pair_hist(["source", "target"], "# tokens", "count", src, tgt)

    @d2l.add_to_class(Pairs)
    def __init__(self, batch_size, num_steps=9, num_train=12, num_val=5):
        super(Pairs, self).__init__()
        self.save_hyperparameters()
        self.arrays, self.src_vocab, self.tgt_vocab = self._build_arrays(self._download())

    @d2l.add_to_class(Pairs)
    def _build_arrays(self, raw_text, src_vocab=None, tgt_vocab=None):
        def build(sentences, vocab, is_tgt=False):
            n = self.num_steps
            sentences = [s[:n] if len(s) > n else s + ["<pad>"] * (n - len(s)) for s in sentences]
            if is_tgt:
                sentences = [["<bos>", *s] for s in sentences]
            if vocab is None:
                vocab = d2l.Vocab(sentences, min_freq=2)
            array = d2l.tensor([vocab[s] for s in sentences])
            valid_len = d2l.reduce_sum(d2l.astype(array != vocab["<pad>"], d2l.int32), 1)
            return array, vocab, valid_len

        most = self.num_train + self.num_val
        src, tgt = self._tokenize(self._preprocess(raw_text), most)
        src_array, src_vocab, src_valid_len = build(src, src_vocab)
        tgt_array, tgt_vocab, _ = build(tgt, tgt_vocab, True)
        arrays = src_array, tgt_array[:, :-1], src_valid_len, tgt_array[:, 1:]
        return arrays, src_vocab, tgt_vocab

    @d2l.add_to_class(Pairs)
    def get_dataloader(self, train):
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader(self.arrays, train, rows)

    @d2l.add_to_class(Pairs)
    def build(self, src_sentences, tgt_sentences):
        lines = (f"{src}\t{tgt}" for src, tgt in zip(src_sentences, tgt_sentences, strict=True))
        return self._build_arrays("\n".join(lines), self.src_vocab, self.tgt_vocab)[0]

    data = Pairs(batch_size=3)
    src, tgt, src_valid_len, label = next(iter(data.train_dataloader()))
    assert [a.shape for a in (src, tgt, label)] == [(3, 9)] * 3 and src_valid_len.shape == (3,)
    src, tgt, _, _ = data.build(["i lost ."], ["j'ai perdu ."])
    assert data.src_vocab.to_tokens(d2l.astype(src[0], d2l.int32))[:5] == [
        *["i", "lost", ".", "<eos>", "<pad>"]
    ]
    assert data.tgt_vocab.to_tokens(d2l.astype(tgt[0], d2l.int32))[:3] == ["<bos>", "j'ai", "perdu"]
    return data


def translator(data, encoder, decoder, cls=None, lr=0.01):
    cls = cls or d2l.Seq2Seq
    return cls(encoder, decoder, tgt_pad=data.tgt_vocab["<pad>"], lr=lr)


def encoder_of(data, cls=None, dropout=0.2):
    return (cls or d2l.Seq2SeqEncoder)(len(data.src_vocab), 12, 16, 2, dropout)


def decoder_of(data, cls=None, dropout=0.2):
    return (cls or d2l.Seq2SeqDecoder)(len(data.tgt_vocab), 12, 16, 2, dropout)


def improves(model, data, max_epochs=6):
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, num_gpus=1)
    trainer.fit(model, data)
    first, last = trainer.history[0], trainer.history[-1]
    assert last["val_loss"] > 0
    return last["train_loss"] < 0.9 * first["train_loss"]


def type_predict_step():
    """The cell of section 10.7.6, which attaches a method to the library's class."""

    @d2l.add_to_class(d2l.EncoderDecoder)
    def predict_step(self, batch, device, num_steps, save_attention_weights=False):
        src, tgt, src_valid_len, _ = [d2l.to(a, device) for a in batch]
        enc_all_outputs = self.encoder(src, src_valid_len)
        dec_state = self.decoder.init_state(enc_all_outputs, src_valid_len)
        outputs, attention_weights = [d2l.expand_dims(tgt[:, 0], 1)], []
        for _ in range(num_steps):
            Y, dec_state = self.decoder(outputs[-1], dec_state)
            outputs.append(d2l.argmax(Y, 2))
            if save_attention_weights:
                attention_weights.append(self.decoder.attention_weights)
        return d2l.concat(outputs[1:], 1), attention_weights


def translations(preds, data):
    found = []
    for pred in preds:
        translation = []
        for token in data.tgt_vocab.to_tokens(pred):
            if token == "<eos>":
                break
            translation.append(token)
        found.append(" ".join(translation))
    return found


def scores(preds, data):
    pairs = zip(translations(preds, data), FRAS, strict=True)
    return [d2l.bleu(translation, fra, k=2) for translation, fra in pairs]
