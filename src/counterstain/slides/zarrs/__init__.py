"""OME-Zarr images, in folders and zip files that are not trusted. Needs zarr, so it is imported only when it is asked for."""
