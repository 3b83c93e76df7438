// Package goclient holds Kubernetes clients as Go programs use them. Its tests run against the API server of the
// kubeconfig in KUBECONFIG, each in a namespace of its own, and know nothing of what serves it. The definitions of the
// open-cluster-management.io kinds must be installed.
package goclient

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const patience = 20 * time.Second

var (
	manifestWorks   = schema.GroupVersionResource{Group: "work.open-cluster-management.io", Version: "v1", Resource: "manifestworks"}
	managedClusters = schema.GroupVersionResource{Group: "cluster.open-cluster-management.io", Version: "v1", Resource: "managedclusters"}
)

// config is that of KUBECONFIG, without the client's own rate limit.
func config(t *testing.T) *rest.Config {
	t.Helper()
	found, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	must(t, err)
	found.QPS = -1
	found.UserAgent = "goclient"
	return found
}

// protobuf sends and prefers protobuf, as controllers of Kubernetes itself do.
func protobuf(t *testing.T) *rest.Config {
	found := config(t)
	found.ContentType = runtime.ContentTypeProtobuf
	found.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return found
}

func typed(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

// space is a fresh namespace.
func space(t *testing.T) string {
	t.Helper()
	client := typed(t, config(t))
	made, err := client.CoreV1().Namespaces().Create(
		t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "go-"}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = client.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{})
	})
	return made.Name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		var status *apierrors.StatusError
		if errors.As(err, &status) {
			t.Fatalf("%v: %+v", err, status.ErrStatus)
		}
		t.Fatal(err)
	}
}

func expect(t *testing.T, holds bool, format string, values ...any) {
	t.Helper()
	if !holds {
		t.Fatalf(format, values...)
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, condition); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", what, err))
	}
}

func pointer[T any](value T) *T { return &value }
