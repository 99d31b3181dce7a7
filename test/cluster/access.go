package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// accessDir is where a person finds the way into an instance, in the source
// tree: .cluster for the demo, .cluster/NAME for others.
func accessDir(name string) (string, error) {
	root, err := sourceRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cluster")
	if name != "demo" {
		dir = filepath.Join(dir, name)
	}
	return dir, nil
}

var accessFiles = []string{"home.kubeconfig", "target.kubeconfig", "kubectl"}

// WriteAccess puts home.kubeconfig, target.kubeconfig and kubectl where a person
// finds them: into .cluster in the source tree. It returns that directory,
// relative to the working directory if that is shorter.
func (c *Cluster) WriteAccess() (string, error) {
	if err := RemoveAccess(c.Name); err != nil {
		return "", err
	}
	dir, err := accessDir(c.Name)
	if err != nil {
		return "", err
	}
	for name, source := range map[string]string{"home.kubeconfig": c.Home.Kubeconfig, "target.kubeconfig": c.Target.Kubeconfig} {
		content, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		if err := writeFiles(dir, map[string][]byte{name: content}); err != nil {
			return "", err
		}
	}
	if err := os.Symlink(c.Kubectl, filepath.Join(dir, "kubectl")); err != nil {
		return "", err
	}
	if wd, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(wd, dir); err == nil && len(relative) < len(dir) {
			return relative, nil
		}
	}
	return dir, nil
}

// RemoveAccess removes what WriteAccess wrote.
func RemoveAccess(name string) error {
	dir, err := accessDir(name)
	if err != nil {
		return err
	}
	for _, file := range accessFiles {
		if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_ = os.Remove(dir) // if nothing else is in there
	return nil
}
