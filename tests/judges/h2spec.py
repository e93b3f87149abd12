"""Holds h2spec's report against the cases that are known to fail, and why. h2spec.py REPORT.xml"""
import re
import sys
import xml.etree.ElementTree as xml

# These pass when the frame comes before the end of the answer, which is a matter of microseconds.
FORGOTTEN = "closed streams are forgotten at once, since each would cost memory; what comes for them is passed over"
PRIORITIES = "priorities of RFC 7540 are declined in the first SETTINGS (RFC 9113, 5.3.2), and such frames passed over"
KNOWN = {
    ("http2/5.1", "half closed (remote): Sends a DATA frame"): FORGOTTEN,
    ("http2/5.1", "half closed (remote): Sends a HEADERS frame"): FORGOTTEN,
    ("http2/5.1", "closed: Sends a DATA frame after sending RST_STREAM frame"): FORGOTTEN,
    ("http2/5.1", "closed: Sends a HEADERS frame after sending RST_STREAM frame"): FORGOTTEN,
    ("http2/5.1", "closed: Sends a DATA frame"): FORGOTTEN,
    ("http2/5.1", "closed: Sends a HEADERS frame"): FORGOTTEN,
    ("http2/5.1.1", "Sends stream identifier that is numerically smaller than previous"): FORGOTTEN,
    ("http2/6.1", 'Sends a DATA frame on the stream that is not in "open" or "half-closed (local)" state'): FORGOTTEN,
    ("http2/5.3.1", "Sends PRIORITY frame that depend on itself"): PRIORITIES,
    ("http2/6.3", "Sends a PRIORITY frame with 0x0 stream identifier"): PRIORITIES,
}

# h2spec writes what it saw into its report as it is, which need not be XML.
why = re.compile(rb"<(failure|error)>(.*?)</\1>", re.DOTALL)
with open(sys.argv[1], "rb") as file:
    report = file.read()
cases = list(xml.fromstring(why.sub(rb"<\1/>", report)).iter("testcase"))
bad = [(case.get("package"), case.get("classname")) for case in cases
       if any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))]
new = [case for case in bad if case not in KNOWN]
print(f"h2spec: {len(cases) - len(bad)} of {len(cases)} cases, {len(bad)} known exceptions" if not new else
      f"h2spec: these fail and should not: {new}\n" + "\n".join(repr(text) for _, text in why.findall(report)))
sys.exit(bool(new) or len(cases) < 140)
