"""Names of the NIfTI files that `predict` writes; importing them is cheap."""

MASK, SUBTYPES, UNCERTAINTY = "mask.nii.gz", "subtypes.nii.gz", "uncertainty.nii.gz"
NIFTI = (MASK, SUBTYPES, UNCERTAINTY)
