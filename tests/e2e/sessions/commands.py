"""What people do with kubectl, as sessions of commands whose output a real API server's has been recorded for.

Each session has a namespace of its own, called ``${ns}`` in the text, which is the default of its kubeconfig. A step is
a command line as a shell would split it; ``<NAME`` gives it a manifest of `MANIFESTS` on stdin, ``-k NAME`` and
``-f NAME`` find them as files in the working directory. Names of objects without a namespace begin with ``${ns}``.
"""

from __future__ import annotations

MANIFESTS: dict[str, str] = {
    "configmap.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  labels: {app: web}
data:
  color: blue
  size: "3"
""",
    "configmap-changed.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  labels: {app: web}
data:
  color: green
  shape: round
""",
    "configmap-other-manager.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  color: red
""",
    "deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: registry.example.com/web:1
        ports:
        - containerPort: 8080
""",
    "deployment-changed.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: registry.example.com/web:2
        ports:
        - containerPort: 8080
      - name: side
        image: registry.example.com/side:1
""",
    "many.yaml": """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: front, labels: {app: front}}
  spec:
    clusterIP: None
    selector: {app: front}
    ports: [{port: 80, name: http}]
- apiVersion: v1
  kind: Secret
  metadata: {name: password, labels: {app: front}}
  stringData: {password: swordfish}
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: robot, labels: {app: front}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, labels: {app: front}}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, labels: {app: front}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: ServiceAccount, name: robot}
""",
    "unknown-field.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: odd, labls: {a: b}}
daat: {a: b}
""",
    "unknown-data.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: odd}
daat: {a: b}
""",
    "duplicate-field.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: odd}
data: {a: b, a: c}
""",
    "wrong-type.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: odd}
spec: {replicas: many}
""",
    "invalid.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: Odd_Name}
spec:
  replicas: -1
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: b}}
    spec: {containers: []}
""",
    "unknown-kind.yaml": """\
apiVersion: nothing.example.com/v1
kind: Nothing
metadata: {name: odd}
""",
    "not-yaml.yaml": "a: b: c\n",
    "pod.yaml": """\
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: one}}
spec:
  nodeName: nowhere
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: registry.example.com/one:1
    env: [{name: A, value: b}]
    resources: {requests: {cpu: 100m, memory: 64Mi}}
""",
    "kustomization.yaml": """\
namePrefix: k-
labels: [{pairs: {team: red}}]
resources: [configmap.yaml, deployment.yaml]
configMapGenerator:
- name: made
  literals: [a=b]
  options: {disableNameSuffixHash: true}
""",
    "crd.yaml": """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: "widgets.${ns}.example.com"}
spec:
  group: ${ns}.example.com
  names: {kind: Widget, plural: widgets, singular: widget, shortNames: [wd${n}], categories: [all]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size, description: how large}
    - {name: Color, type: string, jsonPath: .spec.color, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: Widget is a thing.
        required: [spec]
        properties:
          spec:
            type: object
            description: Spec is what is wanted.
            required: [size]
            x-kubernetes-validations:
            - {rule: "self.size < 100 || self.color == 'red'", message: large widgets are red}
            properties:
              size: {type: integer, minimum: 1, description: Size is how large it is.}
              color: {type: string, enum: [red, blue], default: blue}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string}
                    count: {type: integer, format: int64}
          status:
            type: object
            properties:
              size: {type: integer}
              conditions:
                type: array
                items:
                  type: object
                  properties:
                    type: {type: string}
                    status: {type: string}
""",
    "widget.yaml": """\
apiVersion: ${ns}.example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3, parts: [{name: a, count: 1}, {name: b}]}
""",
    "widget-changed.yaml": """\
apiVersion: ${ns}.example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 5, color: red, parts: [{name: b, count: 7}]}
""",
    "widget-invalid.yaml": """\
apiVersion: ${ns}.example.com/v1
kind: Widget
metadata: {name: w2}
spec: {size: 0, color: pink, parts: [{name: a}, {name: a}]}
""",
    "widget-rule.yaml": """\
apiVersion: ${ns}.example.com/v1
kind: Widget
metadata: {name: w2}
spec: {size: 200, extra: 1}
""",
    "manifestwork.yaml": """\
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: hello}
spec:
  workload:
    manifests:
    - apiVersion: v1
      kind: ConfigMap
      metadata: {name: hello, namespace: default}
      data: {a: b}
""",
    "managedcluster.yaml": """\
apiVersion: cluster.open-cluster-management.io/v1
kind: ManagedCluster
metadata: {name: "${ns}"}
spec: {hubAcceptsClient: true, leaseDurationSeconds: 30}
""",
    "node.yaml": """\
apiVersion: v1
kind: Node
metadata: {name: "${ns}", labels: {zone: a}}
""",
    "csr.yaml": """\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: "${ns}"}
spec:
  request: ${csr}
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
""",
    "csr-denied.yaml": """\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: "${ns}-denied"}
spec:
  request: ${csr}
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
""",
    "rbac.yaml": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}
- {apiGroups: [apps], resources: [deployments], resourceNames: [web], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}
- {kind: ServiceAccount, name: robot, namespace: "${ns}"}
""",
    "rbac-changed.yaml": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [secrets], verbs: [get]}
""",
    "rolling.json": """\
{
  "status": {
    "observedGeneration": 2,
    "replicas": 5,
    "updatedReplicas": 5,
    "readyReplicas": 5,
    "availableReplicas": 5
  }
}
""",
    "rolled-out.json": """\
{
  "status": {
    "observedGeneration": 3,
    "replicas": 2,
    "updatedReplicas": 2,
    "readyReplicas": 2,
    "availableReplicas": 2
  }
}
""",
    "running.json": """\
{"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
""",
    "available.json": """\
{"status": {"conditions": [{"type": "Available", "status": "True"}]}}
""",
    "ready.json": """\
{"status": {"size": 7, "conditions": [{"type": "Ready", "status": "True"}]}}
""",
    "applied.json": """\
{
  "status": {
    "conditions": [
      {
        "type": "Applied",
        "status": "True",
        "reason": "Done",
        "message": "done",
        "lastTransitionTime": "2026-01-01T00:00:00Z"
      }
    ],
    "resourceStatus": {}
  }
}
""",
    "event.yaml": """\
apiVersion: v1
kind: Event
metadata: {name: settings.1}
involvedObject: {apiVersion: v1, kind: ConfigMap, name: settings, namespace: "${ns}"}
reason: Painted
message: it is blue now
type: Normal
source: {component: painter}
count: 2
firstTimestamp: "2026-01-01T10:00:00Z"
lastTimestamp: "2026-01-01T11:00:00Z"
""",
}

SESSIONS: dict[str, list[str]] = {
    "read": [
        "create -f configmap.yaml",
        "create configmap plain --from-literal=a=b",
        "get configmap",
        "get cm settings -o wide --show-labels",
        "get cm -L app --no-headers",
        "get cm/settings cm/plain -o name",
        "get cm settings -o yaml",
        "get cm settings -o json --show-managed-fields",
        "get cm -o jsonpath={.items[*].metadata.name}",
        "get cm -o custom-columns=NAME:.metadata.name,APP:.metadata.labels.app",
        "get cm settings -o go-template={{.data.color}}",
        "get cm -l app=web",
        "get cm -l 'app in (web),!other' -o name",
        "get cm -l 'app notin (web)' -o name",
        "get cm --field-selector metadata.name=plain",
        "get cm --field-selector data.color=blue",
        "get cm --sort-by=.metadata.name --chunk-size=1 -o name",
        "get cm -l app=nothing",
        "get cm missing",
        "get cm missing --ignore-not-found",
        "get cm settings missing -o name",
        "get cm,secret,sa",
        "get nothings",
        "get configmaps.v1. settings -o name",
        "get deployments.v1.apps",
        "get all",
        "get all -A --field-selector metadata.namespace=${ns}",
        "get ns ${ns} -o yaml",
        "get sc,pv,node",
        "get --raw /api/v1/namespaces/${ns}/configmaps/settings",
        "get --raw /api/v1/namespaces/${ns}/nothing",
        "get --raw /nothing",
        "describe configmap plain",
        "describe ns ${ns}",
        "describe cm missing",
        "describe sa default",
        "get cm settings --watch-only --request-timeout=1s",
    ],
    "events": [
        "create -f configmap.yaml",
        "create -f event.yaml",
        "get events",
        "get events -o wide",
        "events",
        "events --for configmap/settings",
        "events --types Warning",
        "get events --field-selector involvedObject.name=settings,type=Normal -o name",
        "describe configmap settings",
    ],
    "apply": [
        "apply -f configmap.yaml",
        "apply -f configmap.yaml",
        "get cm settings -o yaml --show-managed-fields",
        "diff -f configmap-changed.yaml",
        "apply -f configmap-changed.yaml --dry-run=server -o yaml",
        "apply -f configmap-changed.yaml --dry-run=client",
        "apply -f configmap-changed.yaml",
        "diff -f configmap-changed.yaml",
        "get cm settings -o jsonpath={.data}",
        "apply view-last-applied cm/settings",
        "apply set-last-applied -f configmap.yaml",
        "apply edit-last-applied cm/settings",
        "create configmap plain --from-literal=a=b",
        "apply -f many.yaml",
        "apply -f many.yaml",
        "get svc,secret,role,rolebinding -l app=front",
        "get svc,secret -l app=front -o yaml",
        "apply -f configmap.yaml --prune -l app=front --prune-allowlist=core/v1/Secret",
        "apply -f - <deployment.yaml",
        "apply -f deployment-changed.yaml",
        "get deployment web -o yaml",
        "diff -f deployment.yaml",
        "delete -f many.yaml --ignore-not-found",
    ],
    "apply-server-side": [
        "apply --server-side -f configmap.yaml",
        "apply --server-side -f configmap.yaml",
        "apply --server-side -f configmap-other-manager.yaml --field-manager=other",
        "apply --server-side -f configmap-other-manager.yaml --field-manager=other --force-conflicts",
        "diff --server-side -f configmap.yaml",
        "diff --server-side -f configmap.yaml --force-conflicts",
        "apply --server-side -f configmap-changed.yaml --dry-run=server --force-conflicts -o yaml",
        "get cm settings -o yaml --show-managed-fields",
        "apply -f deployment.yaml",
        "apply --server-side -f deployment-changed.yaml",
        "get deploy web -o yaml --show-managed-fields",
        "apply -f deployment.yaml",
        "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}",
        "apply --server-side -f unknown-data.yaml",
        "apply --server-side -f wrong-type.yaml",
        "apply --server-side -f invalid.yaml",
    ],
    "change": [
        "create -f configmap.yaml",
        "create -f configmap.yaml",
        "replace -f configmap-changed.yaml",
        "replace -f configmap-changed.yaml --force",
        "edit cm settings",
        "get cm settings -o jsonpath={.data}",
        """patch cm settings -p '{"data":{"a":"1"}}'""",
        """patch cm settings -p '{"data":{"a":"1"}}'""",
        """patch cm settings --type=merge -p '{"data":{"a":null,"b":"2"}}'""",
        """patch cm settings --type=json -p '[{"op":"replace","path":"/data/b","value":"3"}]' -o yaml""",
        """patch cm settings --type=json -p '[{"op":"test","path":"/data/b","value":"4"}]'""",
        """patch cm settings --type=json -p '[{"op":"remove","path":"/data/nothing"}]'""",
        "create configmap plain --from-literal=a=b",
        """patch cm plain --type=merge -p '{"data":{"b":4}}'""",
        """patch cm settings --type=merge -p '{"metadata":{"name":"other"}}'""",
        """patch cm settings --type=merge -p '{"metadata":{"resourceVersion":"1"}}'""",
        """patch cm missing -p '{}'""",
        "label cm settings a=b app-",
        "label cm settings a=c",
        "label cm settings a=c --overwrite",
        "label cm settings bad/key/x=1",
        "label cm -l a=c --list",
        "label cm --all all=yes --dry-run=server",
        "annotate cm settings note=hello",
        "annotate cm settings note-",
        "get cm settings -o yaml",
        """patch cm settings --type=merge -p '{"immutable":true}'""",
        """patch cm settings --type=merge -p '{"data":{"b":"5"}}'""",
    ],
    "workloads": [
        "create -f deployment.yaml",
        "get deploy",
        "get deploy -o wide",
        "scale deploy web --replicas=5",
        "scale deploy web --replicas=1 --current-replicas=2",
        "scale deploy web --replicas=-1",
        "get deploy web --subresource=scale",
        "get deploy web --subresource=scale -o yaml",
        "get deploy web --subresource=status -o jsonpath={.metadata.name}",
        "patch deploy web --subresource=status --type=merge --patch-file=rolling.json",
        """patch deploy web --subresource=scale --type=merge -p '{"spec":{"replicas":2}}'""",
        "get deploy",
        "rollout status deploy web --timeout=1s",
        "patch deploy web --subresource=status --type=merge --patch-file=rolled-out.json",
        "rollout status deploy web",
        "rollout restart deploy web",
        "rollout pause deploy web",
        "rollout resume deploy web",
        "rollout history deploy web",
        "rollout undo deploy web",
        "set image deploy web web=registry.example.com/web:9",
        "set env deploy web A=B",
        "set env deploy web --list",
        "set resources deploy web --limits=cpu=200m",
        "set serviceaccount deploy web robot",
        "set selector svc missing a=b",
        "expose deploy web --port=80 --target-port=8080 --cluster-ip=None",
        "autoscale deploy web --min=1 --max=3",
        "get hpa",
        "describe deploy web",
        "run one --image=registry.example.com/one:1 --dry-run=server -o yaml",
        "create -f pod.yaml",
        "get pods",
        "get pods -o wide",
        "describe pod one",
        "patch pod one --subresource=status --type=strategic --patch-file=running.json",
        "wait pod one --for=condition=Ready --timeout=5s",
        "get pods --field-selector=status.phase=Running,spec.nodeName=nowhere",
        "delete pod one --now --timeout=1s",
        "delete pod one --force",
        "delete deploy web --cascade=orphan",
    ],
    "create": [
        "create deployment d --image=registry.example.com/d:1 --replicas=2 --port=80",
        "create service clusterip s --tcp=80:8080 --clusterip=None",
        "create service externalname e --external-name=example.com",
        "create secret generic g --from-literal=a=b",
        "create secret docker-registry r --docker-server=example.com --docker-username=u --docker-password=p",
        "create serviceaccount robot",
        "create role reader --verb=get,list --resource=pods,deployments.apps --resource-name=a",
        "create role none --verb=get --resource=nothings",
        "create rolebinding reader --role=reader --serviceaccount=${ns}:robot --user=alice",
        "create clusterrole ${ns} --verb=get --non-resource-url=/metrics",
        "create clusterrole ${ns}-sum --aggregation-rule=a=${ns}",
        "create clusterrolebinding ${ns} --clusterrole=${ns} --group=people",
        "create quota q --hard=pods=3",
        "create poddisruptionbudget p --selector=app=a --min-available=1",
        "create priorityclass ${ns} --value=10",
        "create ingress i --rule=example.com/=s:80",
        "create job j --image=registry.example.com/j:1",
        "create cronjob c --image=registry.example.com/c:1 --schedule='*/5 * * * *'",
        "create job j2 --from=cronjob/c",
        "create namespace ${ns}-other --dry-run=server -o yaml",
        "create configmap made --from-file=configmap.yaml --dry-run=server -o yaml",
        "get deploy,svc,sa,role,rolebinding,quota,pdb,ing,job,cronjob",
        "get deploy,svc,role,rolebinding,quota,pdb,ing,job,cronjob -o wide",
        "get secrets",
        "get clusterrole,clusterrolebinding,priorityclass ${ns}",
        "get deploy d -o yaml --show-managed-fields",
        "get job j -o yaml",
        "get cronjob c -o yaml",
        "get ing i -o yaml",
        "get rolebinding reader -o yaml --show-managed-fields",
        "describe role reader",
        "describe rolebinding reader",
        "describe secret g",
        "describe job j",
        "describe quota q",
        "describe pdb p",
        "describe svc s",
        "delete clusterrole,clusterrolebinding,priorityclass ${ns}",
        "delete clusterrole ${ns}-sum",
    ],
    "delete": [
        "create -f configmap.yaml",
        "create configmap two --from-literal=a=b",
        "create configmap three --from-literal=a=b",
        "delete cm settings --dry-run=server",
        "delete cm settings",
        "delete cm settings",
        "delete cm settings --ignore-not-found",
        "delete cm/two cm/missing",
        "delete cm -l app=web",
        "delete cm three --wait=false --cascade=foreground",
        "create -f configmap.yaml",
        """patch cm settings --type=merge -p '{"metadata":{"finalizers":["example.com/keep"]}}'""",
        "delete cm settings --wait=false",
        "delete cm settings --timeout=1s",
        "get cm settings -o yaml",
        """patch cm settings --type=merge -p '{"metadata":{"finalizers":["example.com/other"]}}'""",
        """patch cm settings --type=merge -p '{"metadata":{"finalizers":null}}'""",
        "get cm settings",
        "wait cm settings --for=delete --timeout=5s",
        "create configmap four --from-literal=a=b",
        "delete cm four --force --grace-period=0",
        "delete -f configmap.yaml",
        "delete --raw /api/v1/namespaces/${ns}/configmaps/nothing",
        "create namespace ${ns}-gone",
        "create configmap a --from-literal=a=b -n ${ns}-gone",
        "delete namespace ${ns}-gone",
        "get namespace ${ns}-gone",
        "create configmap a -n ${ns}-gone",
    ],
    "wait": [
        "create -f configmap.yaml",
        "create -f deployment.yaml",
        "wait cm settings --for=jsonpath={.data.color}=blue --timeout=5s",
        "wait cm settings --for=jsonpath={.data.color}=red --timeout=1s",
        "wait deploy web --for=condition=Available --timeout=1s",
        "patch deploy web --subresource=status --type=merge --patch-file=available.json",
        "wait deploy web --for=condition=Available --timeout=5s",
        "wait deploy --all --for=condition=Available=True --timeout=5s",
        "wait cm missing --for=delete --timeout=1s",
        "wait cm missing --for=jsonpath={.data}=1 --timeout=1s",
        "wait cm settings --for=delete --timeout=1s",
    ],
    "auth": [
        "apply -f rbac.yaml",
        "auth whoami",
        "auth whoami --as=alice --as-group=people -o yaml",
        "auth can-i create pods",
        "auth can-i get configmaps --as=alice",
        "auth can-i get secrets --as=alice",
        "auth can-i update deployments.apps/web --as=alice",
        "auth can-i get nothings --as=alice",
        "auth can-i get pods --subresource=log --as=alice",
        "auth can-i get /healthz --as=alice",
        "auth can-i get /metrics --as=alice",
        "auth can-i --list --as=alice",
        "auth can-i --list --as=system:serviceaccount:${ns}:robot",
        "get cm --as=alice",
        "get secrets --as=alice",
        "get cm -A --as=alice",
        "get secret s --as=alice",
        "create configmap c --as=alice",
        "delete cm c --as=alice",
        """patch deploy web -p '{}' --as=alice""",
        "get --raw /metrics --as=alice",
        "auth reconcile -f rbac-changed.yaml",
        "get role reader -o yaml",
        "auth reconcile -f rbac-changed.yaml --remove-extra-permissions --dry-run=server",
        "create sa robot",
        "create token robot --duration=30s",
        "create token missing",
        "get cm --token=nonsense",
        "create role more --verb='*' --resource=secrets --as=alice",
    ],
    "certificates": [
        "create -f csr.yaml",
        "create -f csr-denied.yaml",
        "get csr ${ns} ${ns}-denied",
        "certificate approve ${ns}",
        "certificate deny ${ns}-denied",
        "certificate approve ${ns}-denied",
        "certificate approve ${ns}",
        "certificate approve missing",
        "wait csr ${ns} --for=jsonpath={.status.certificate} --timeout=10s",
        "get csr ${ns} ${ns}-denied",
        "describe csr ${ns}",
        "delete csr ${ns} ${ns}-denied",
    ],
    "discovery": [
        "api-resources --api-group=apps -o wide",
        "api-resources --api-group=rbac.authorization.k8s.io",
        "api-resources --api-group=cluster.open-cluster-management.io -o wide",
        "api-resources --api-group=work.open-cluster-management.io -o name",
        "api-resources --categories=all -o name",
        "cluster-info",
        "explain pods.spec.containers.resources",
        "explain deployment",
        "explain deployment.spec.template.spec.volumes.emptyDir --recursive",
        "explain ingress --api-version=networking.k8s.io/v1",
        "explain cm.nothing",
        "explain nothings",
        "explain manifestwork",
        "explain --api-version=work.open-cluster-management.io/v1 manifestwork.spec",
        "explain manifestwork.spec.workload --recursive",
        "explain managedcluster.spec.taints",
        "explain placement.spec --recursive",
        "get apiservices v1.apps v1.work.open-cluster-management.io",
        "top pod",
        "get pods.metrics.k8s.io",
    ],
    "custom": [
        "create -f crd.yaml",
        "wait crd widgets.${ns}.example.com --for=condition=Established --timeout=10s",
        "get crd widgets.${ns}.example.com -o jsonpath={.status.conditions[*].reason}",
        "create -f widget.yaml",
        "apply -f widget.yaml",
        "apply -f widget-changed.yaml --dry-run=server -o yaml",
        "diff -f widget-changed.yaml",
        "apply -f widget-changed.yaml",
        "apply -f widget-changed.yaml",
        "apply --server-side -f widget.yaml --force-conflicts",
        "get widgets",
        "get wd${n} -o wide",
        "get widget w -o yaml --show-managed-fields",
        "describe widget w",
        "create -f widget-invalid.yaml",
        "create -f widget-rule.yaml --validate=ignore",
        "create -f widget-rule.yaml",
        "create -f widget-rule.yaml --validate=warn",
        "scale widget w --replicas=7",
        "get widget w --subresource=scale",
        "patch widget w --type=merge --subresource=status --patch-file=ready.json",
        "wait widget w --for=condition=Ready --timeout=5s",
        "wait widget w --for=jsonpath={.status.size}=7 --timeout=5s",
        """patch widget w -p '{"spec":{"size":8}}'""",
        """patch widget w --type=merge -p '{"spec":{"size":"8"}}'""",
        """patch widget w --type=json -p '[{"op":"add","path":"/spec/parts/-","value":{"name":"z"}}]'""",
        "label widget w a=b",
        "get all",
        "explain widget --api-version=${ns}.example.com/v1",
        "explain widget.spec --api-version=${ns}.example.com/v1 --recursive",
        "explain widget.spec.size --api-version=${ns}.example.com/v1",
        "edit widget w",
        "delete widget w",
        "delete crd widgets.${ns}.example.com",
        "get widgets.${ns}.example.com",
    ],
    "open-cluster-management": [
        "apply -f managedcluster.yaml",
        "get managedcluster ${ns}",
        "get managedcluster ${ns} -o yaml",
        "describe managedcluster ${ns}",
        "label managedcluster ${ns} zone=a",
        "apply -f manifestwork.yaml",
        "apply -f manifestwork.yaml",
        "apply --server-side -f manifestwork.yaml",
        "get manifestworks",
        "get manifestwork hello -o yaml",
        "patch manifestwork hello --type=merge --subresource=status --patch-file=applied.json",
        "wait manifestwork hello --for=condition=Applied --timeout=5s",
        """patch manifestwork hello --type=merge -p '{"spec":{"deleteOption":{"propagationPolicy":"Never"}}}'""",
        """patch managedcluster ${ns} --type=merge -p '{"spec":{"taints":[{"key":"a","effect":"Sometimes"}]}}'""",
        "create clusterrole ${ns} --verb=get --resource=managedclusters --dry-run=server -o yaml",
        "delete manifestwork hello",
        "delete managedcluster ${ns}",
    ],
    "errors": [
        "create -f unknown-field.yaml",
        "create -f unknown-field.yaml --validate=warn",
        "create -f unknown-field.yaml --validate=ignore --dry-run=server -o yaml",
        "create -f duplicate-field.yaml",
        "apply -f duplicate-field.yaml --validate=false",
        "create -f wrong-type.yaml",
        "apply -f wrong-type.yaml --validate=false",
        "create -f invalid.yaml",
        "create -f unknown-kind.yaml",
        "create -f not-yaml.yaml",
        "create -f missing.yaml",
        "create configmap UPPER",
        "create configmap a -n missing-${ns}",
        "get pods -n missing-${ns}",
        "create namespace kube_system",
        "create namespace ${ns}",
        "delete namespace kube-system --dry-run=server",
        "get pod/a/b",
        "get cm --field-selector=nonsense",
        "get cm -l 'a=b=c'",
        "get cm -l a===b",
        "logs missing",
        "exec missing -- ls",
        "get clusterrole admin -n ${ns} -o name",
        "create deployment d",
        "create --raw /api/v1/namespaces/${ns}/configmaps -f configmap.yaml",
        "create quota q --hard=pods=many",
        "create token default --audience=a --duration=1s",
        "replace -f configmap-other-manager.yaml --dry-run=server",
        "replace -f configmap.yaml",
    ],
    "kustomize": [
        "apply -k .",
        "apply -k .",
        "diff -k .",
        "get cm,deploy -l team=red",
        "delete -k .",
    ],
    "nodes": [
        "create -f node.yaml",
        "get node ${ns}",
        "get node ${ns} -o wide",
        "cordon ${ns}",
        "uncordon ${ns}",
        "taint node ${ns} a=b:NoSchedule",
        "taint node ${ns} a-",
        "drain ${ns}",
        "label node ${ns} zone=b --overwrite",
        "get node ${ns} -o yaml",
        "describe node ${ns}",
        "delete node ${ns}",
    ],
    "completion": [
        "create -f configmap.yaml",
        "__complete get cert",
        "__complete get cm ''",
        "__complete describe cm se",
        "__complete -n ${ns} logs ''",
        "__complete label cm settings ''",
        "__complete explain deployment.spec.",
    ],
}
