package goclient

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
)

func manifestWork(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"workload": map[string]any{"manifests": []any{map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "default"}, "data": map[string]any{"a": "b"}}}}},
	}}
}

func TestDynamicClientAndInformers(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	client, err := dynamic.NewForConfig(config(t))
	must(t, err)
	works := client.Resource(manifestWorks).Namespace(namespace)

	counts := &seen{}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	informer := factory.ForResource(manifestWorks)
	_, err = informer.Informer().AddEventHandler(counts.handler())
	must(t, err)
	running, stop := context.WithCancel(ctx)
	factory.Start(running.Done())
	defer func() { stop(); factory.Shutdown() }()
	expect(t, cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced), "the informer never synced")

	made, err := works.Create(ctx, manifestWork("a"), metav1.CreateOptions{FieldValidation: "Strict"})
	must(t, err)
	expect(t, made.GetGeneration() == 1, "%+v", made)
	_, err = works.Create(ctx, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork", "metadata": map[string]any{"name": "b"}, "spec": map[string]any{"wrong": int64(1)}}}, metav1.CreateOptions{FieldValidation: "Strict"})
	expect(t, apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "unknown field"), "%v", err)
	must(t, unstructured.SetNestedField(made.Object, "x", "metadata", "labels", "l"))
	made, err = works.Update(ctx, made, metav1.UpdateOptions{})
	must(t, err)
	must(t, unstructured.SetNestedSlice(made.Object, []any{map[string]any{"type": "Applied", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}, "status", "conditions"))
	reported, err := works.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	must(t, err)
	expect(t, reported.GetGeneration() == 1, "a status has no generation: %d", reported.GetGeneration())
	applied, err := works.Apply(ctx, "a", &unstructured.Unstructured{Object: map[string]any{"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork", "metadata": map[string]any{"name": "a", "annotations": map[string]any{"x": "y"}}}}, metav1.ApplyOptions{FieldManager: "go"})
	must(t, err)
	expect(t, applied.GetAnnotations()["x"] == "y" && applied.GetLabels()["l"] == "x", "%+v", applied)
	_, err = works.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"deleteOption":{"propagationPolicy":"Sometimes"}}}`), metav1.PatchOptions{})
	expect(t, apierrors.IsInvalid(err), "%v", err)
	_, err = works.Patch(ctx, "a", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	expect(t, apierrors.IsUnsupportedMediaType(err), "%v", err)
	eventually(t, "the informer's events", counts.are(1, 3, 0))
	must(t, works.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	eventually(t, "the end of the work", counts.are(1, 3, 1))
}

func TestDiscoveryOfWhatIsServed(t *testing.T) {
	client, err := discovery.NewDiscoveryClientForConfig(config(t))
	must(t, err)
	version, err := client.ServerVersion()
	must(t, err)
	expect(t, version.Major == "1" && version.Platform != "", "%+v", version)
	_, lists, err := client.ServerGroupsAndResources()
	must(t, err)
	expect(t, len(lists) > 15, "%d group versions", len(lists))
	namespaced, err := client.ServerPreferredNamespacedResources()
	must(t, err)
	expect(t, len(namespaced) > 5, "%d lists", len(namespaced))

	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "work.open-cluster-management.io", Kind: "ManifestWork"})
	must(t, err)
	expect(t, mapping.Resource == manifestWorks && mapping.Scope.Name() == "namespace", "%+v", mapping)
	resource, err := restmapper.NewShortcutExpander(mapper, client, nil).ResourceFor(schema.GroupVersionResource{Resource: "deploy"})
	must(t, err)
	expect(t, resource.Group == "apps" && resource.Resource == "deployments", "%v", resource)
	_, err = mapper.KindFor(schema.GroupVersionResource{Resource: "nothings"})
	expect(t, err != nil, "found nothings")

	_, err = client.OpenAPISchema()
	must(t, err)
	root := openapi3.NewRoot(client.OpenAPIV3())
	spec, err := root.GVSpec(schema.GroupVersion{Group: "cluster.open-cluster-management.io", Version: "v1"})
	must(t, err)
	expect(t, spec.Components.Schemas["io.open-cluster-management.cluster.v1.ManagedCluster"] != nil, "no schema of ManagedCluster")
	all, err := root.GroupVersions()
	must(t, err)
	for _, one := range all {
		_, err := root.GVSpec(one)
		must(t, err)
	}
}

func TestDefinitionsOfOnesOwn(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	definitions, err := apiextensions.NewForConfig(config(t))
	must(t, err)
	client, err := dynamic.NewForConfig(config(t))
	must(t, err)
	group := namespace + ".example.com"
	yes := true
	definition := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "gadgets." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "gadgets", Kind: "Gadget"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}, Scale: &apiextensionsv1.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.size", StatusReplicasPath: ".status.size"}},
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
					"spec": {Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
						"size": {Type: "integer", Default: &apiextensionsv1.JSON{Raw: []byte("1")}, XValidations: apiextensionsv1.ValidationRules{{Rule: "self < 10", Message: "too large"}}},
						"any":  {XPreserveUnknownFields: &yes},
					}},
					"status": {Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"size": {Type: "integer"}}},
				}}},
			}},
		},
	}
	inProtobuf := protobuf(t)
	inProtobuf.AcceptContentTypes = "application/json"
	viaProtobuf, err := apiextensions.NewForConfig(inProtobuf)
	must(t, err)
	_, err = viaProtobuf.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, definition, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = definitions.ApiextensionsV1().CustomResourceDefinitions().Delete(context.Background(), definition.Name, metav1.DeleteOptions{})
	})
	eventually(t, "the definition to be established", func(ctx context.Context) (bool, error) {
		found, err := definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, definition.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range found.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	resource := schema.GroupVersionResource{Group: group, Version: "v1", Resource: "gadgets"}
	gadgets := client.Resource(resource).Namespace(namespace)
	gadget := func(size int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": group + "/v1", "kind": "Gadget", "metadata": map[string]any{"name": "g"}, "spec": map[string]any{"size": size, "any": map[string]any{"x": []any{1.5, nil}}}}}
	}
	var made *unstructured.Unstructured
	eventually(t, "the new resource to be served", func(ctx context.Context) (bool, error) {
		made, err = gadgets.Create(ctx, gadget(3), metav1.CreateOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	text, err := json.Marshal(made.Object["spec"])
	must(t, err)
	expect(t, string(text) == `{"any":{"x":[1.5,null]},"size":3}`, "%s", text)
	stale := gadget(30)
	stale.SetResourceVersion(made.GetResourceVersion())
	_, err = gadgets.Update(ctx, stale, metav1.UpdateOptions{})
	expect(t, apierrors.IsInvalid(err) && strings.Contains(err.Error(), "too large"), "%v", err)

	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(definitions.Discovery()))
	scales, err := scale.NewForConfig(config(t), mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(definitions.Discovery()))
	must(t, err)
	found, err := scales.Scales(namespace).Get(ctx, resource.GroupResource(), "g", metav1.GetOptions{})
	must(t, err)
	found.Spec.Replicas = 5
	found, err = scales.Scales(namespace).Update(ctx, resource.GroupResource(), found, metav1.UpdateOptions{})
	must(t, err)
	expect(t, found.Spec.Replicas == 5, "%+v", found)
}

func TestGarbageCollectionAndNamespaces(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	client := typed(t, protobuf(t))
	configMaps := client.CoreV1().ConfigMaps(namespace)
	owner, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	must(t, err)
	reference := *metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	_, err = configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{reference}}}, metav1.CreateOptions{})
	must(t, err)
	must(t, configMaps.Delete(ctx, "owner", metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationForeground)}))
	eventually(t, "owner and owned to go", func(ctx context.Context) (bool, error) {
		_, one := configMaps.Get(ctx, "owner", metav1.GetOptions{})
		_, other := configMaps.Get(ctx, "owned", metav1.GetOptions{})
		return apierrors.IsNotFound(one) && apierrors.IsNotFound(other), nil
	})
	must(t, client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}))
	eventually(t, "the namespace to go", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}
