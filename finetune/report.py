def write_seed_report(model_dir): pass
def write_report(model_dir, summary): pass
