try:
    from merope.controlplane.admission import AdmissionChain
except ImportError:
    class AdmissionChain:
        def __init__(self, server): ...
        async def mutate(self, request, operation, obj, old): return obj
        async def validate(self, request, operation, obj, old): ...
try:
    from merope.controlplane.controllers import controllers
except ImportError:
    def controllers(server): return []
try:
    from merope.controlplane.crd import CustomResources
except ImportError:
    class CustomResources:
        def __init__(self, server): ...
        def resources(self): return []
        def lookup(self, *a): return None
        async def start(self): ...
        async def stop(self): ...
