package goclient

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const finalizer = "example.com/go"

var workKind = schema.GroupVersionKind{Group: manifestWorks.Group, Version: manifestWorks.Version, Kind: "ManifestWork"}

func work() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(workKind)
	return object
}

// reporter keeps a ConfigMap for each ManifestWork and reports it in the work's status.
type reporter struct{ client.Client }

func (r *reporter) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	object := work()
	if err := r.Get(ctx, request.NamespacedName, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !object.GetDeletionTimestamp().IsZero() {
		if controllerutil.RemoveFinalizer(object, finalizer) {
			return reconcile.Result{}, r.Update(ctx, object)
		}
		return reconcile.Result{}, nil
	}
	if controllerutil.AddFinalizer(object, finalizer) {
		return reconcile.Result{}, r.Update(ctx, object)
	}
	report := applycore.ConfigMap(object.GetName(), object.GetNamespace()).WithData(map[string]string{"seen": object.GetLabels()["say"]})
	if err := r.Apply(ctx, report, client.FieldOwner("reporter"), client.ForceOwnership); err != nil {
		return reconcile.Result{}, err
	}
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: object.GetName() + "-owned", Namespace: object.GetNamespace()}}
	if _, err := controllerutil.CreateOrUpdate(ctx, r.Client, owned, func() error {
		owned.Data = map[string]string{"seen": object.GetLabels()["say"]}
		return controllerutil.SetControllerReference(object, owned, r.Scheme())
	}); err != nil {
		return reconcile.Result{}, err
	}
	before := object.DeepCopy()
	condition := map[string]any{"type": "Applied", "status": "True", "reason": "Reported", "message": object.GetLabels()["say"], "lastTransitionTime": "2026-01-01T00:00:00Z"}
	if err := unstructured.SetNestedSlice(object.Object, []any{condition}, "status", "conditions"); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.Status().Patch(ctx, object, client.MergeFrom(before))
}

func TestControllerRuntime(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	ctrl.SetLogger(logr.Discard())
	manager, err := ctrl.NewManager(config(t), ctrl.Options{
		Scheme: scheme.Scheme, Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		LeaderElection: true, LeaderElectionID: "go-" + namespace, LeaderElectionNamespace: namespace,
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
	})
	must(t, err)
	must(t, manager.GetFieldIndexer().IndexField(ctx, &corev1.ConfigMap{}, "seen", func(object client.Object) []string {
		return []string{object.(*corev1.ConfigMap).Data["seen"]}
	}))
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	must(t, ctrl.NewControllerManagedBy(manager).For(work()).Owns(&corev1.ConfigMap{}).
		WatchesMetadata(secrets, &handler.EnqueueRequestForObject{}, builder.OnlyMetadata).Complete(&reporter{manager.GetClient()}))
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()
	defer func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the manager: %v", err)
			}
		case <-time.After(patience):
			t.Error("the manager does not end")
		}
	}()

	direct, err := client.New(config(t), client.Options{Scheme: scheme.Scheme})
	must(t, err)
	object := manifestWork("w")
	object.SetNamespace(namespace)
	object.SetLabels(map[string]string{"say": "hello"})
	must(t, direct.Create(ctx, object))
	key := types.NamespacedName{Namespace: namespace, Name: "w"}
	reported := func(want string) func(ctx context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			found := work()
			if err := direct.Get(ctx, key, found); err != nil {
				return false, err
			}
			conditions, _, _ := unstructured.NestedSlice(found.Object, "status", "conditions")
			return len(conditions) == 1 && conditions[0].(map[string]any)["message"] == want, nil
		}
	}
	eventually(t, "the first report", reported("hello"))
	eventually(t, "the index of the cache", func(ctx context.Context) (bool, error) {
		found := &corev1.ConfigMapList{}
		err := manager.GetClient().List(ctx, found, client.InNamespace(namespace), client.MatchingFields{"seen": "hello"})
		return len(found.Items) == 2, err
	})

	must(t, direct.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"say":"good-bye"}}}`))))
	eventually(t, "the second report", reported("good-bye"))

	// The controller puts back what it owns.
	must(t, direct.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "w-owned", Namespace: namespace}}))
	eventually(t, "the owned object to come back", func(ctx context.Context) (bool, error) {
		found := &corev1.ConfigMap{}
		err := direct.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "w-owned"}, found)
		return err == nil && found.Data["seen"] == "good-bye", client.IgnoreNotFound(err)
	})

	must(t, direct.Delete(ctx, object))
	eventually(t, "the work and what it owns to go", func(ctx context.Context) (bool, error) {
		one := direct.Get(ctx, key, work())
		other := direct.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "w-owned"}, &corev1.ConfigMap{})
		return apierrors.IsNotFound(one) && apierrors.IsNotFound(other), nil
	})
}
