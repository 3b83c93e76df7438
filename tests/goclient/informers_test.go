package goclient

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	clientwatch "k8s.io/client-go/tools/watch"
)

// seen counts what an informer reports.
type seen struct {
	sync.Mutex
	added, updated, deleted int
}

func (s *seen) handler() cache.ResourceEventHandlerFuncs {
	count := func(what *int) { s.Lock(); defer s.Unlock(); *what++ }
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { count(&s.added) },
		UpdateFunc: func(any, any) { count(&s.updated) },
		DeleteFunc: func(any) { count(&s.deleted) },
	}
}

func (s *seen) are(added, updated, deleted int) func(context.Context) (bool, error) {
	return func(context.Context) (bool, error) {
		s.Lock()
		defer s.Unlock()
		return s.added == added && s.updated == updated && s.deleted == deleted, nil
	}
}

func TestSharedInformers(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	client := typed(t, protobuf(t))
	configMaps := client.CoreV1().ConfigMaps(namespace)
	for index := range 30 {
		_, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%d", index), Labels: map[string]string{"watched": fmt.Sprint(index < 20)}}}, metav1.CreateOptions{})
		must(t, err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "watched=true" }))
	informer, lister := factory.Core().V1().ConfigMaps().Informer(), factory.Core().V1().ConfigMaps().Lister().ConfigMaps(namespace)
	counts := &seen{}
	_, err := informer.AddEventHandler(counts.handler())
	must(t, err)
	running, stop := context.WithCancel(ctx)
	factory.Start(running.Done())
	defer func() { stop(); factory.Shutdown() }()
	expect(t, cache.WaitForCacheSync(ctx.Done(), informer.HasSynced), "the informer never synced")
	listed, err := lister.List(labels.Everything())
	must(t, err)
	expect(t, len(listed) == 20, "%d objects after the first sync", len(listed))
	eventually(t, "events of what there was", counts.are(20, 0, 0))

	patch := func(name, text string) {
		_, err := configMaps.Patch(ctx, name, types.MergePatchType, []byte(text), metav1.PatchOptions{})
		must(t, err)
	}
	patch("c0", `{"data":{"a":"b"}}`)
	patch("c1", `{"metadata":{"labels":{"watched":"no"}}}`)    // leaves the selector
	patch("c25", `{"metadata":{"labels":{"watched":"true"}}}`) // enters it
	must(t, configMaps.Delete(ctx, "c2", metav1.DeleteOptions{}))
	must(t, configMaps.Delete(ctx, "c29", metav1.DeleteOptions{})) // was never in it
	eventually(t, "events of the changes", counts.are(21, 1, 2))
	found, err := lister.Get("c0")
	must(t, err)
	expect(t, found.Data["a"] == "b", "%+v", found)
	_, err = lister.Get("c1")
	expect(t, apierrors.IsNotFound(err), "%v", err)
}

func TestMetadataInformers(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	client, err := metadata.NewForConfig(protobuf(t))
	must(t, err)
	secrets := typed(t, config(t)).CoreV1().Secrets(namespace)
	_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"x": "y"}}, StringData: map[string]string{"a": "b"}}, metav1.CreateOptions{})
	must(t, err)
	resource := corev1.SchemeGroupVersion.WithResource("secrets")
	informer := metadatainformer.NewFilteredMetadataInformer(client, resource, namespace, 0, cache.Indexers{}, nil)
	running, stop := context.WithCancel(ctx)
	defer stop()
	go informer.Informer().Run(running.Done())
	expect(t, cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced), "the informer never synced")
	found, err := informer.Lister().ByNamespace(namespace).Get("a")
	must(t, err)
	expect(t, found.(*metav1.PartialObjectMetadata).Labels["x"] == "y", "%+v", found)
	must(t, secrets.Delete(ctx, "a", metav1.DeleteOptions{}))
	eventually(t, "the secret's end", func(context.Context) (bool, error) {
		_, err := informer.Lister().ByNamespace(namespace).Get("a")
		return apierrors.IsNotFound(err), nil
	})
}

func TestWatchesThatGoOnWhereAListEnded(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	configMaps := typed(t, protobuf(t)).CoreV1().ConfigMaps(namespace)
	list, err := configMaps.List(ctx, metav1.ListOptions{})
	must(t, err)
	for index := range 3 {
		_, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("w%d", index)}}, metav1.CreateOptions{})
		must(t, err)
	}
	must(t, configMaps.Delete(ctx, "w0", metav1.DeleteOptions{}))
	watcher, err := clientwatch.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		return configMaps.Watch(ctx, options)
	}})
	must(t, err)
	defer watcher.Stop()
	text, deadline := "", time.After(patience)
	for len(text) < 4*len("ADDED w0 ") {
		select {
		case event := <-watcher.ResultChan():
			if object, ok := event.Object.(*corev1.ConfigMap); ok && object.Name[0] == 'w' {
				text += string(event.Type) + " " + object.Name + " "
			}
		case <-deadline:
			t.Fatalf("only %q came", text)
		}
	}
	expect(t, text == "ADDED w0 ADDED w1 ADDED w2 DELETED w0 ", "%q", text)

	streaming, err := configMaps.Watch(ctx, metav1.ListOptions{AllowWatchBookmarks: true, SendInitialEvents: pointer(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, TimeoutSeconds: pointer[int64](2)})
	must(t, err)
	added, marked := 0, false
	for event := range streaming.ResultChan() {
		object := event.Object.(*corev1.ConfigMap)
		switch {
		case event.Type == watch.Added && object.Name[0] == 'w':
			added++
		case event.Type == watch.Bookmark && object.Annotations[metav1.InitialEventsAnnotationKey] == "true":
			marked = true
		}
	}
	expect(t, added == 2 && marked, "%d objects, end marked: %v", added, marked)
}

func TestLeaderElection(t *testing.T) {
	namespace := space(t)
	client := typed(t, protobuf(t))
	leading := make(chan string, 4)
	run := func(name string) (context.CancelFunc, chan struct{}) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Name: "lock", Namespace: namespace}, Client: client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name}}
		go func() {
			defer close(done)
			leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
				Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 100 * time.Millisecond, ReleaseOnCancel: true,
				Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leading <- name }, OnStoppedLeading: func() {}}})
		}()
		return cancel, done
	}
	next := func() string {
		select {
		case name := <-leading:
			return name
		case <-time.After(patience):
			t.Fatal("nobody leads")
			return ""
		}
	}
	stopFirst, first := run("first")
	expect(t, next() == "first", "another leads")
	stopSecond, second := run("second")
	stopFirst()
	<-first
	expect(t, next() == "second", "another leads")
	lease, err := client.CoordinationV1().Leases(namespace).Get(t.Context(), "lock", metav1.GetOptions{})
	must(t, err)
	expect(t, *lease.Spec.HolderIdentity == "second" && *lease.Spec.LeaseTransitions == 1, "%+v", lease.Spec)
	stopSecond()
	<-second
}

func TestEventRecorder(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	client := typed(t, protobuf(t))
	object, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	must(t, err)
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events(namespace)})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "go"})
	for range 3 {
		recorder.Event(object, corev1.EventTypeNormal, "Happened", "again")
	}
	eventually(t, "one event of three", func(ctx context.Context) (bool, error) {
		found, err := client.CoreV1().Events(namespace).Search(scheme.Scheme, object)
		return err == nil && len(found.Items) == 1 && found.Items[0].Count == 3, err
	})
}
