"""nipype's view of the work: one interface per step, each a call of a plain function."""

from __future__ import annotations

from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits

from bids_qmri.interfaces.outcomes import record_file, run_and_record


class _FitInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    job = traits.Any(mandatory=True, desc="an AcquisitionJob")


class _FitOutputSpec(TraitedSpec):  # type: ignore[misc]
    records = traits.List(traits.Str, desc="files that say what became of the fits")


class FitAcquisition(SimpleInterface):  # type: ignore[misc]
    """Run one `AcquisitionJob` and leave a record of the outcome of each fit beside the other scratch files.

    The record, not nipype's own result, is what the run reads at the end: it is there only if the fit ended.
    """

    input_spec = _FitInputSpec
    output_spec = _FitOutputSpec

    def _run_interface(self, runtime):  # type: ignore[no-untyped-def]
        self._results["records"] = [str(record_file(fit)) for fit in self.inputs.job.fits]
        run_and_record(self.inputs.job)
        return runtime
