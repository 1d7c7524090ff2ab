def export_seed(model_dir, output_dir): pass
