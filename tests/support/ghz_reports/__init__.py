"""ghz's own reports, recorded, and whether ours have their shape.

python -m tests.support.ghz_reports            # ghz beside ours, live
python -m tests.support.ghz_reports --record   # record ghz's reports anew
"""
