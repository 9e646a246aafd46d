"""The one declaration of the data: a scheduled flight out of New York, known as of its scheduled departure.

The data checks, the ONNX inputs, the request type, the load test's payloads and the drift monitors derive from it.
"""

from .columns import Boolean, Category, Number, Schema, Time

# fmt: off
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
DESTINATIONS = (
    "ABQ", "ACK", "ALB", "ANC", "ATL", "AUS", "AVL", "BDL", "BGR", "BHM", "BNA", "BOS", "BQN", "BTV", "BUF",
    "BUR", "BWI", "BZN", "CAE", "CAK", "CHO", "CHS", "CLE", "CLT", "CMH", "CRW", "CVG", "DAY", "DCA", "DEN",
    "DFW", "DSM", "DTW", "EGE", "EYW", "FLL", "GRR", "GSO", "GSP", "HDN", "HNL", "HOU", "IAD", "IAH", "ILM",
    "IND", "JAC", "JAX", "LAS", "LAX", "LEX", "LGA", "LGB", "MCI", "MCO", "MDW", "MEM", "MHT", "MIA", "MKE",
    "MSN", "MSP", "MSY", "MTJ", "MVY", "MYR", "OAK", "OKC", "OMA", "ORD", "ORF", "PBI", "PDX", "PHL", "PHX",
    "PIT", "PSE", "PSP", "PVD", "PWM", "RDU", "RIC", "ROC", "RSW", "SAN", "SAT", "SAV", "SBN", "SDF", "SEA",
    "SFO", "SJC", "SJU", "SLC", "SMF", "SNA", "SRQ", "STL", "STT", "SYR", "TPA", "TUL", "TVC", "TYS", "XNA",
)
# fmt: on

SCHEMA = Schema(
    columns=(
        Category(name="carrier", about="two-letter airline code", values=CARRIERS, open=True, example="UA"),
        Number(name="flight", about="flight number", minimum=1, maximum=9999, integer=True, feature=False),
        Category(name="origin", about="airport of departure", values=("EWR", "JFK", "LGA"), example="EWR"),
        Category(name="dest", about="airport of arrival", values=DESTINATIONS, open=True, example="IAH"),
        Time(name="departure", about="scheduled departure"),
        Number(name="month", minimum=1, maximum=12, integer=True, example=1),
        Number(name="weekday", about="1 is Monday", minimum=1, maximum=7, integer=True, example=2),
        Number(name="hour", about="scheduled hour, local", minimum=0, maximum=23, integer=True, example=5),
        Number(name="minute", about="scheduled minute", minimum=0, maximum=59, integer=True, example=15),
        Number(name="distance", about="great circle", unit="miles", minimum=10, maximum=6000, example=1400),
        Number(name="temp", about="temperature", unit="F", minimum=-40, maximum=130, missing=0.1, example=39.0),
        Number(name="dewp", about="dew point", unit="F", minimum=-60, maximum=100, missing=0.1, example=28.0),
        Number(name="humid", about="relative humidity", unit="%", minimum=0, maximum=100, missing=0.1, example=64.4),
        Number(name="wind_dir", unit="degrees", minimum=0, maximum=360, missing=0.1, example=260),
        Number(name="wind_speed", unit="mph", minimum=0, maximum=100, missing=0.1, example=12.7),
        Number(name="wind_gust", unit="mph", minimum=0, maximum=120, missing=0.99, example=None),
        Number(name="precip", about="in the hour", unit="inches", minimum=0, maximum=5, missing=0.1, example=0.0),
        Number(name="pressure", about="sea level", unit="mbar", minimum=950, maximum=1060, missing=0.3, example=1012.0),
        Number(name="visib", about="visibility", unit="miles", minimum=0, maximum=10, missing=0.1, example=10.0),
        Boolean(name="late", about="arrived later than `ingest.late_after_minutes`", feature=False),
    ),
    key=("carrier", "flight", "origin", "departure"),
    time="departure",
    label="late",
)
