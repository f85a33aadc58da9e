"""From the DICOM files of a hospital to clean short-axis cines."""
