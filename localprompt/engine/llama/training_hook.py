"""What llama.cpp's training leaves out: a loss over the answers alone, examples kept apart.

``llama_opt_epoch`` trains on a window of tokens as on one text. Every position counts, so that a
classifier would spend most of its changes on learning to write reviews, and an example sees those
before it in the window. llama.cpp's scheduler however tells of every node of the graph before it is
computed, and at two of them this can be mended, exactly and without a second pass:

- At the first *softmax* of the attention its mask is there. Keys of other examples are masked out;
  positions are relative (RoPE), so each example is then computed as if it were alone.
- At the *loss* the logits are there. Its gradient is softmax(logits) − labels, row by row. Where a
  row does not count its label is set to softmax(logits), which makes the gradient zero.

The loss that ggml reports contains the entropy of those rows, so the loss is computed here as
well, of the rows that count.
"""

from __future__ import annotations

import ctypes
from typing import Any

from localprompt.engine.llama.ggml_opt import NODE_CALLBACK, Tensor, check_layout, operations
from localprompt.engine.windows import Window, WindowLoss
from localprompt.errors import EngineError


class TrainingHook:
    """Follows the graph of a training step; one per context.

    ``callback`` goes into the context's parameters, which llama.cpp hands on to its scheduler when
    it next decodes.
    """

    def __init__(self) -> None:
        check_layout()
        numbers = operations()
        self._softmax, self._loss = numbers["SOFT_MAX"], numbers["CROSS_ENTROPY_LOSS"]
        self._window: Window | None = None
        self._masked: set[int] = set()
        self._result: WindowLoss | None = None
        self._failure: Exception | None = None
        self.callback = NODE_CALLBACK(self._node)

    def begin(self, window: Window) -> None:
        """Before the step."""
        self._window = window
        self._masked, self._result, self._failure = set(), None, None

    def end(self) -> WindowLoss:
        """After the step: the loss of what counted.

        Raises:
            EngineError: the graph was not the one that this module is written for.
        """
        self._window = None
        if self._failure is not None:
            raise self._failure
        if self._result is None or not self._masked:
            raise EngineError(
                "llama.cpp's training graph is not built as expected",
                expected="an attention mask and a cross-entropy loss",
                found=f"{len(self._masked)} masks, {'a' if self._result else 'no'} loss",
            )
        return self._result

    def _node(self, address: int, asking: bool, _data: object) -> bool:
        """Called from inside llama.cpp, where an exception would be lost.

        Returns:
            while asked: whether what lies before has to be complete when the next node is asked
            about, which it is for the logits; afterwards: whether to go on.
        """
        window = self._window
        if window is None or self._failure is not None:
            return not asking
        try:
            if not asking:
                return True
            node = Tensor.from_address(address)
            if node.op == self._softmax and node.src[1]:
                self._keep_apart(node.src[1], window)
            elif node.op == self._loss:
                self._count(node, window)
            return bytes(node.name) == b"result_output"
        except Exception as failure:  # noqa: BLE001  raised again by end()
            self._failure = failure
            return not asking

    def _keep_apart(self, address: int, window: Window) -> None:
        if address in self._masked:
            return
        self._masked.add(address)
        mask = _rows(Tensor.from_address(address))
        start = 0
        for length in window.lengths:
            mask[start : start + length, :start] = float("-inf")
            start += length

    def _count(self, node: Tensor, window: Window) -> None:
        import numpy as np

        logits = _rows(Tensor.from_address(node.src[0]))
        labels = _rows(Tensor.from_address(node.src[1]))
        loss, correct = 0.0, 0
        for row, (token, counts) in enumerate(zip(window.labels, window.counted, strict=True)):
            scores = logits[row]
            best = int(scores.argmax())
            exponentials = np.exp(scores - scores[best])
            total = exponentials.sum(dtype=np.float64)
            if counts:
                loss += float(np.log(total) - (float(scores[token]) - float(scores[best])))
                correct += best == token
            else:
                np.multiply(exponentials, np.float32(1 / total), out=labels[row])
        self._result = WindowLoss(loss, sum(window.counted), correct)


def _rows(tensor: Tensor) -> Any:
    """A tensor of two dimensions as a numpy array of its memory.

    Raises:
        EngineError: it does not hold 32-bit floats in one piece.
    """
    import numpy as np

    width, height = tensor.ne[0], tensor.ne[1]
    if tensor.type != 0 or not tensor.data or tensor.nb[0] != 4 or tensor.nb[1] != 4 * width:
        raise EngineError(
            "llama.cpp's training graph is not built as expected",
            where=bytes(tensor.name).decode(errors="replace"),
            expected="rows of 32-bit floats",
        )
    pointer = ctypes.cast(tensor.data, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, shape=(height, width))
