"""The front of the engine: a model, a tokenizer, and `attribute`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import Tensor

from ..attribution import Attribution
from ..defaults import DEFAULT_METHOD
from ..errors import SequenceError
from ..model_lock import model_lock
from ..prompt.token_text import TokenText
from .capture import Capture, capture_forward
from .context import context_length
from .families import check_supported, family_of
from .forward import PREFILL_CHUNK
from .hop import hop_totals
from .kept import kept_captures
from .loading import load_model
from .methods import method_named
from .placement import input_device
from .request import SpansLike, TargetLike, check_ids, make_requests
from .row_shares import forward_row_shares, row_shares


class Attributor:
    """Attribute what a causal language model wrote to the tokens that caused it.

    Args:
        model: a transformers causal LM of a supported family, in evaluation mode.
        tokenizer: the tokenizer that belongs to it; None shows tokens by their numbers.
        model_name: name stored with each result; the model's own by default.

    Raises:
        UnsupportedModelError: if the architecture has no adapter.
    """

    def __init__(self, model: Any, tokenizer: Any, *, model_name: str | None = None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.family = family_of(model)
        self.family.layers(model)  # names a missing module now rather than at the first use
        self.model_name = model_name or str(getattr(model, "name_or_path", "") or type(model).__name__)
        self.lock = model_lock(model)

    @classmethod
    def from_pretrained(
        cls,
        name: str = "smollm2",
        *,
        gguf_file: str | None = None,
        device_map: Any = None,
        dtype: Any = "auto",
    ) -> Attributor:
        """Load a model by catalogue name, folder, GGUF file or Hugging Face id.

        Raises:
            ModelFileError: if it cannot be loaded.
            UnsupportedModelError: if its architecture has no adapter.
        """
        model, tokenizer = load_model(
            name, gguf_file=gguf_file, device_map=device_map, dtype=dtype, check_config=check_supported
        )
        return cls(model, tokenizer, model_name=name)

    def attribute(
        self,
        input_ids: Sequence[int] | Tensor,
        target: TargetLike,
        through: SpansLike | None = None,
        hops: int = 1,
        method: str = DEFAULT_METHOD,
        *,
        capture: Capture | None = None,
    ) -> Attribution:
        """Attribute one target.

        Args:
            input_ids: (N,) prompt + completion, without padding.
            target: what to explain: a span, several spans, or a weight ≥ 0 for every token (N,).
            through: reasoning spans that influence passes through; None for no recursion.
            hops: how many times influence on the reasoning is passed on; `walk` passes it on to the end
                unless this is 0.
            method: a name in `flashtrace_agent.engine.methods.METHODS`.
            capture: what an earlier forward over these ids left behind (see `capture`); spares the
                forward pass if it holds every row the target and the reasoning need. By default
                what was kept when this model generated these ids (see `kept`), if it was.

        Raises:
            SequenceError: if ids or spans do not fit the model or each other.
        """
        (only,) = self.attribute_many(
            input_ids, [target], [through], hops=hops, method=method, capture=capture
        )
        return only

    def attribute_many(
        self,
        input_ids: Sequence[int] | Tensor,
        targets: Sequence[TargetLike],
        through: Sequence[SpansLike | None] | None = None,
        *,
        hops: int = 1,
        method: str = DEFAULT_METHOD,
        capture: Capture | None = None,
    ) -> list[Attribution]:
        """Attribute several targets of one sequence; they share one forward pass.

        Args:
            through: reasoning of each target, one entry a target; None for no recursion at all.

        Other arguments, results and errors are those of `attribute`.
        """
        if hops < 0:
            raise SequenceError(
                f"hops={hops} makes no sense; use 0 for the target alone, 1 or more to recurse."
            )
        ids = self._check_ids(input_ids)
        requests = make_requests(len(ids), targets, through)
        if not requests:
            return []
        chosen = method_named(method)
        if capture is None:
            capture = kept_captures(self.model).get(ids.tolist())
        elif capture.n_tokens > len(ids):
            raise SequenceError(
                f"The capture holds {capture.n_tokens:,} tokens, but the sequence has {len(ids):,}; "
                "give a capture of this sequence, or none."
            )
        # A caller's autocast would round the sums that float32 is there for.
        with self.lock, torch.autocast(input_device(self.model).type, enabled=False):
            results = chosen.run(self, ids.tolist(), requests, hops, capture)
        tokens = self.pieces(ids.tolist())
        settings = {
            "hops": hops,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }
        return [
            Attribution(
                input_ids=ids,
                tokens=tokens,
                target=request.target,
                through=request.through,
                scores=result.scores.astype(np.float32),
                hops=result.hops,
                method=method,
                model=self.model_name,
                target_name=",".join(str(span) for span in request.target),
                settings=settings | ({"picked": result.picked} if result.picked else {}),
            )
            for request, result in zip(requests, results, strict=True)
        ]

    def capture_of(
        self, input_ids: Sequence[int], rows: npt.NDArray[np.intp], given: Capture | None
    ) -> Capture:
        """Return the capture given if it holds all `rows`, int64 (R,) ascending, else a new one of them."""
        return given if given is not None and given.covers(rows) else self.capture(input_ids, rows)

    def capture(
        self, input_ids: Sequence[int], rows: npt.NDArray[np.intp], chunk: int = PREFILL_CHUNK
    ) -> Capture:
        """Run the decoder once and keep what attribution needs for `rows`, int64 (R,) ascending."""
        return capture_forward(
            self.model, self.family, input_ids, torch.from_numpy(rows.astype(np.int64)), chunk
        )

    def hop_totals(self, capture: Capture, weights: Tensor) -> Tensor:
        """Return float64 (M, N) token totals of one hop for weights (M, R) over the captured rows."""
        with torch.no_grad():
            return hop_totals(self.model, self.family, capture, weights)

    def row_shares(
        self,
        input_ids: Sequence[int],
        rows: npt.NDArray[np.intp],
        given: Capture | None,
        chunk: int = PREFILL_CHUNK,
    ) -> Tensor:
        """Return where rows, int64 (R,) ascending, come from, float32 (R, N'); see `engine.row_shares`.

        The capture given serves if it holds them all, N' being its length; else the decoder runs once.
        """
        with torch.no_grad():
            if given is None or not given.covers(rows):
                return forward_row_shares(self.model, self.family, input_ids, torch.from_numpy(rows), chunk)
            used = np.searchsorted(given.rows.numpy(), rows)
            return row_shares(self.model, self.family, given, torch.from_numpy(used))

    def pieces(self, input_ids: Sequence[int]) -> tuple[str, ...]:
        """Return the text of each token, or its number in brackets where there is no tokenizer."""
        ids = list(input_ids)
        if self.tokenizer is None:
            return tuple(f"⟨{token}⟩" for token in ids)
        return tuple(TokenText(self.tokenizer, ids).pieces)

    def _check_ids(self, input_ids: Sequence[int] | Tensor) -> npt.NDArray[np.int32]:
        plain = input_ids.tolist() if isinstance(input_ids, Tensor) else input_ids
        vocabulary = self.model.get_input_embeddings().num_embeddings
        return check_ids(plain, vocabulary, context_length(self.model.config))
